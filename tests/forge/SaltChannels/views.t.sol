// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {SaltChannels, newSaltChannels} from "../support/Contracts.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice Digests and identifiers, against EIP-712 written out in the plainest way.
contract SaltChannels_views is SaltChannelsTest {
    bytes32 private constant CHANNEL = keccak256(
        "Channel(address payer,address payee,address asset,address signer,address operator,uint32 exitDelay,bytes32 salt)"
    );
    bytes32 private constant VOUCHER =
        keccak256("Voucher(bytes32 channel,address payee,address asset,uint256 ceiling)");
    bytes32 private constant DEPOSIT_TYPE = keccak256(
        "Deposit(bytes32 channel,address payee,address asset,uint256 amount,uint256 depositBefore,uint256 deadline)"
    );
    bytes32 private constant CLOSE = keccak256("Close(bytes32 channel,uint256 total,uint256 deposit,uint256 deadline)");
    bytes32 private constant EXIT = keccak256("Exit(bytes32 channel,uint256 deposit,uint256 deadline)");

    function test_domain_isTheOneThatIsDocumented() external view {
        (, string memory name, string memory version, uint256 chainId, address verifying,,) = channels.eip712Domain();
        assertEq(name, "SaltChannels");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(verifying, address(channels));
        assertEq(channels.DOMAIN_SEPARATOR(), domain());
    }

    function test_bounds_areFifteenMinutesAndThirtyDays() external view {
        assertEq(channels.MIN_EXIT_DELAY(), 900);
        assertEq(channels.MAX_EXIT_DELAY(), 2_592_000);
    }

    function test_stateOf_isAllZero_whenChannelWasNeverOpened() external view {
        assertState(channelIn(NATIVE), 0, 0, 0, false);
    }

    function test_channelId_isAnotherOnAnotherContractAndOnAnotherChain() external {
        (SaltChannels other, bytes32 otherDomain) = deployedAgain();
        uint256 before = vm.snapshotState();
        vm.chainId(block.chainid + 1);
        (SaltChannels elsewhere, bytes32 domainElsewhere) = deployedAgain();
        vm.revertToState(before);

        assertTrue(address(elsewhere) != address(0) && address(other) != address(channels));
        assertTrue(otherDomain != channels.CHANNEL_DOMAIN_SEPARATOR() && otherDomain != domainElsewhere);
        assertTrue(other.channelId(channelIn(NATIVE)) != channels.channelId(channelIn(NATIVE)));
    }

    /// @dev A chain that is reset has the same id, and the contract the same address. What was signed before is of
    /// channels that no longer can be.
    function test_channelId_isAnotherAfterTheChainIsReset() external {
        vm.roll(100);
        vm.setBlockhash(99, keccak256("a hash"));
        uint256 before = vm.snapshotState();
        (SaltChannels first, bytes32 domain_) = deployedAgain();
        assertEq(domain_, domainOf(first, keccak256("a hash"), block.timestamp, block.prevrandao));
        vm.revertToState(before);

        vm.warp(block.timestamp + 1);
        (SaltChannels later, bytes32 domainLater) = deployedAgain();
        vm.revertToState(before);
        vm.prevrandao(keccak256("chance"));
        (SaltChannels byChance, bytes32 domainByChance) = deployedAgain();
        vm.revertToState(before);
        vm.setBlockhash(99, keccak256("another hash"));
        (SaltChannels byHash, bytes32 domainByHash) = deployedAgain();

        assertTrue(first == later && first == byChance && first == byHash);
        assertTrue(domain_ != domainLater && domain_ != domainByChance && domain_ != domainByHash);
        assertTrue(domainLater != domainByChance && domainLater != domainByHash && domainByChance != domainByHash);
    }

    /// @dev The same session key and the same salt on both chains: the old chain's voucher pays nothing on the new.
    function test_voucher_isOfNoUse_afterTheChainIsReset() external {
        uint256 before = vm.snapshotState();
        (SaltChannels first,) = deployedAgain();
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        bytes32 id = first.channelId(channel);
        bytes memory voucher = sign(session, first.voucherDigest(id, payee.addr, NATIVE, 5 ether));
        vm.revertToState(before);

        vm.warp(block.timestamp + 1);
        (channels,) = deployedAgain();
        assertEq(address(channels), address(first));
        open(channel, DEPOSIT);
        assertEq(channels.stateOf(id).deposit, 0);
        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        vm.prank(payee.addr);
        channels.claim(channel, 5 ether, 5 ether, voucher);
    }

    function deployedAgain() private returns (SaltChannels deployed, bytes32 domain_) {
        deployed = newSaltChannels();
        domain_ = deployed.CHANNEL_DOMAIN_SEPARATOR();
    }

    function domainOf(SaltChannels of_, bytes32 hash, uint256 time, uint256 chance) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
                ),
                keccak256("SaltChannels"),
                keccak256("1"),
                block.chainid,
                address(of_),
                keccak256(abi.encode(hash, time, chance))
            )
        );
    }

    function testFuzz_channelId_isTheHashOfTheDescriptor(ISaltChannels.Channel memory channel) external view {
        assertEq(channels.channelId(channel), idOf(channel));
    }

    function testFuzz_voucherDigest_isOfTheType(bytes32 id, address to, address asset, uint256 ceiling) external view {
        assertEq(
            channels.voucherDigest(id, to, asset, ceiling),
            digest(keccak256(abi.encode(VOUCHER, id, to, asset, ceiling)))
        );
    }

    function testFuzz_depositDigest_isOfTheType(
        bytes32 id,
        address to,
        address asset,
        uint256 amount,
        uint256 before,
        uint256 deadline
    ) external view {
        assertEq(
            channels.depositDigest(id, to, asset, amount, before, deadline),
            digest(keccak256(abi.encode(DEPOSIT_TYPE, id, to, asset, amount, before, deadline)))
        );
    }

    function testFuzz_digests_areThoseOfTheTypes(bytes32 id, uint256 a, uint256 b, uint256 c) external view {
        assertEq(channels.closeDigest(id, a, b, c), digest(keccak256(abi.encode(CLOSE, id, a, b, c))));
        assertEq(channels.exitDigest(id, a, b), digest(keccak256(abi.encode(EXIT, id, a, b))));
        assertEq(channels.authorizationNonce(id, a), keccak256(abi.encode(id, a)));
    }

    function testFuzz_claimsDigest_isOfTheTotalsInOrder(address to, address asset, ISaltChannels.Claim[3] memory rows)
        external
        view
    {
        ISaltChannels.Claim[] memory claims = new ISaltChannels.Claim[](3);
        bytes memory hashes;
        for (uint256 i = 0; i < 3; ++i) {
            claims[i] = rows[i];
            bytes32 id = idOf(
                ISaltChannels.Channel(
                    rows[i].payer, to, asset, rows[i].signer, rows[i].operator, rows[i].exitDelay, rows[i].salt
                )
            );
            hashes = bytes.concat(
                hashes, keccak256(abi.encode(keccak256("ClaimTotal(bytes32 channel,uint256 total)"), id, rows[i].total))
            );
        }
        assertEq(
            channels.claimsDigest(to, asset, claims),
            digest(
                keccak256(
                    abi.encode(
                        keccak256("Claims(ClaimTotal[] totals)ClaimTotal(bytes32 channel,uint256 total)"),
                        keccak256(hashes)
                    )
                )
            )
        );
    }

    function test_typehashes_areThoseOfTheDocumentedTypes() external view {
        assertEq(channels.CHANNEL_TYPEHASH(), CHANNEL);
        assertEq(channels.VOUCHER_TYPEHASH(), VOUCHER);
        assertEq(channels.DEPOSIT_TYPEHASH(), DEPOSIT_TYPE);
        assertEq(channels.CLOSE_TYPEHASH(), CLOSE);
        assertEq(channels.EXIT_TYPEHASH(), EXIT);
        assertEq(channels.CLAIM_TOTAL_TYPEHASH(), keccak256("ClaimTotal(bytes32 channel,uint256 total)"));
        assertEq(
            channels.CLAIMS_TYPEHASH(),
            keccak256("Claims(ClaimTotal[] totals)ClaimTotal(bytes32 channel,uint256 total)")
        );
        assertEq(
            channels.DEPOSIT_WITNESS_TYPEHASH(), keccak256("DepositWitness(bytes32 channel,uint256 depositBefore)")
        );
    }

    /// @dev SaltChannels has no receive and no fallback: coins that belong to no channel are refused.
    function test_receive_refusesPlainCoins() external {
        vm.prank(payer.addr);
        (bool accepted,) = address(channels).call{value: 1 ether}("");
        assertFalse(accepted);
    }

    function idOf(ISaltChannels.Channel memory channel) private view returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(
                CHANNEL,
                channel.payer,
                channel.payee,
                channel.asset,
                channel.signer,
                channel.operator,
                channel.exitDelay,
                channel.salt
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", channels.CHANNEL_DOMAIN_SEPARATOR(), structHash));
    }

    function digest(bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", domain(), structHash));
    }

    function domain() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("SaltChannels"),
                keccak256("1"),
                block.chainid,
                address(channels)
            )
        );
    }
}
