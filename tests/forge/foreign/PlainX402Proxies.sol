// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402ExactPermit2Proxy, IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {IX402UptoPermit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {ISignatureTransfer} from "permit2/interfaces/ISignatureTransfer.sol";

/// @title PlainX402Proxy
/// @notice x402's proxies once more, as plainly as Solidity says it: what x402 documents, in its order, with the compiler's
/// own encoding and a guard in storage, and beyond it our event. Mutated payments are held against it.
abstract contract PlainX402Proxy is ReentrancyGuard {
    ISignatureTransfer private constant PERMIT2 = ISignatureTransfer(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    event Settled();
    event SettledWithPermit();

    /// @dev The end of the type that is signed.
    function witnessType() internal pure virtual returns (string memory);

    function givePermit(
        IX402Permit2Proxy.EIP2612Permit calldata permit2612,
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner
    ) internal {
        if (permit2612.value != permit.permitted.amount) {
            revert IX402Permit2Proxy.Permit2612AmountMismatch();
        }
        IERC20Permit token = IERC20Permit(permit.permitted.token);
        try token.permit(
            owner, address(PERMIT2), permit2612.value, permit2612.deadline, permit2612.v, permit2612.r, permit2612.s
        ) {}
        catch Error(string memory reason) {
            emit IX402Permit2Proxy.EIP2612PermitFailedWithReason(address(token), owner, reason);
        } catch Panic(uint256 code) {
            emit IX402Permit2Proxy.EIP2612PermitFailedWithPanic(address(token), owner, code);
        } catch (bytes memory data) {
            emit IX402Permit2Proxy.EIP2612PermitFailedWithData(address(token), owner, data);
        }
    }

    // forge-lint: disable-next-item(block-timestamp)
    function requireSettleable(uint256 amount, address owner, address to, uint256 validAfter) internal view {
        if (amount == 0) revert IX402Permit2Proxy.InvalidAmount();
        if (owner == address(0)) revert IX402Permit2Proxy.InvalidOwner();
        if (to == address(0)) revert IX402Permit2Proxy.InvalidDestination();
        if (block.timestamp < validAfter) revert IX402Permit2Proxy.PaymentTooEarly();
    }

    function transfer(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        address to,
        bytes memory witness,
        bytes calldata signature
    ) internal {
        PERMIT2.permitWitnessTransferFrom(
            permit,
            ISignatureTransfer.SignatureTransferDetails({to: to, requestedAmount: amount}),
            owner,
            keccak256(witness),
            witnessType(),
            signature
        );
        emit IX402Permit2Proxy.PaymentSettled(owner, to, permit.permitted.token, amount, permit.nonce);
    }
}

contract PlainX402ExactProxy is PlainX402Proxy {
    function settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        IX402ExactPermit2Proxy.Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        settlePayment(permit, owner, witness, signature);
        emit Settled();
    }

    function settleWithPermit(
        IX402Permit2Proxy.EIP2612Permit calldata permit2612,
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        IX402ExactPermit2Proxy.Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        givePermit(permit2612, permit, owner);
        settlePayment(permit, owner, witness, signature);
        emit SettledWithPermit();
    }

    function settlePayment(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        IX402ExactPermit2Proxy.Witness calldata witness,
        bytes calldata signature
    ) private {
        requireSettleable(permit.permitted.amount, owner, witness.to, witness.validAfter);
        bytes memory encoded =
            abi.encode(keccak256("Witness(address to,uint256 validAfter)"), witness.to, witness.validAfter);
        transfer(permit, permit.permitted.amount, owner, witness.to, encoded, signature);
    }

    function witnessType() internal pure override returns (string memory) {
        return "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";
    }
}

contract PlainX402UptoProxy is PlainX402Proxy {
    function settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        IX402UptoPermit2Proxy.Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        requireChoice(permit, amount, witness);
        settlePayment(permit, amount, owner, witness, signature);
        emit Settled();
    }

    function settleWithPermit(
        IX402Permit2Proxy.EIP2612Permit calldata permit2612,
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        IX402UptoPermit2Proxy.Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        requireChoice(permit, amount, witness);
        givePermit(permit2612, permit, owner);
        settlePayment(permit, amount, owner, witness, signature);
        emit SettledWithPermit();
    }

    function requireChoice(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        IX402UptoPermit2Proxy.Witness calldata witness
    ) private view {
        if (amount > permit.permitted.amount) revert IX402UptoPermit2Proxy.AmountExceedsPermitted();
        if (msg.sender != witness.facilitator) revert IX402UptoPermit2Proxy.UnauthorizedFacilitator();
    }

    function settlePayment(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        IX402UptoPermit2Proxy.Witness calldata witness,
        bytes calldata signature
    ) private {
        requireSettleable(amount, owner, witness.to, witness.validAfter);
        bytes memory encoded = abi.encode(
            keccak256("Witness(address to,address facilitator,uint256 validAfter)"),
            witness.to,
            witness.facilitator,
            witness.validAfter
        );
        transfer(permit, amount, owner, witness.to, encoded, signature);
    }

    function witnessType() internal pure override returns (string memory) {
        return "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";
    }
}
