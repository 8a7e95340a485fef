// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltChannels} from "../../contracts/SaltChannels.sol";
import {ISaltChannels} from "../../contracts/interfaces/ISaltChannels.sol";
import {ChannelState} from "../../contracts/libraries/ChannelState.sol";
import {Test} from "forge-std/Test.sol";

/// @notice An account that takes whatever it is sent.
contract Taker {
    receive() external payable {}
}

/// @notice A token that does what the standard says, and no more than a proof needs. Everybody has approved everybody.
contract Coin {
    mapping(address account => uint256 amount) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @notice Proofs for all inputs: `FOUNDRY_TEST=tests/halmos halmos --contract SaltChannelsCheck`. The names begin with
/// `check_`, which forge does not run.
/// @dev halmos takes ecrecover to be some function: what is shown holds whoever signed.
contract SaltChannelsCheck is Test {
    SaltChannels private channels;
    Coin private coin;
    address private payer;
    address private payee;
    address private partner;
    address private signer = address(0x5151);

    function setUp() public {
        channels = new SaltChannels();
        coin = new Coin();
        payer = address(new Taker());
        payee = address(new Taker());
        partner = address(new Taker());
    }

    function channel() private view returns (ISaltChannels.Channel memory) {
        return channelIn(address(0));
    }

    function channelIn(address asset) private view returns (ISaltChannels.Channel memory) {
        return ISaltChannels.Channel({
            payer: payer,
            payee: payee,
            asset: asset,
            signer: signer,
            operator: address(0),
            exitDelay: 15 minutes,
            salt: bytes32(0)
        });
    }

    /// @dev A deposit is what was sent, and what is recorded.
    function check_open_conserves(uint104 amount) external {
        vm.deal(payer, amount);
        vm.prank(payer);
        channels.open{value: amount}(channel(), amount);

        ISaltChannels.State memory state = channels.stateOf(channels.channelId(channel()));
        assert(address(channels).balance == amount && payer.balance == 0);
        assert(state.deposit == amount && state.claimed == 0 && state.exitAt == 0 && !state.closed);
    }

    /// @dev Two claims of any vouchers pay what is recorded, and never more than the ceilings or the deposit.
    function check_claim_conserves(uint104 amount, uint256 first, uint256 second, bytes32 r, bytes32 s, uint8 v)
        external
    {
        vm.assume(amount != 0);
        vm.deal(payer, amount);
        vm.prank(payer);
        channels.open{value: amount}(channel(), amount);

        claim(first, r, s, v);
        claim(second, r, s, v);

        ISaltChannels.State memory state = channels.stateOf(channels.channelId(channel()));
        assert(state.deposit == amount);
        assert(payee.balance == state.claimed);
        assert(address(channels).balance == uint256(amount) - state.claimed);
        assert(state.claimed <= amount && state.claimed <= (first > second ? first : second));
    }

    /// @dev However it is closed, everything that was deposited goes to the two, and nothing remains.
    function check_close_conserves(uint104 amount, uint256 total, bytes32 r, bytes32 s, uint8 v) external {
        vm.assume(amount != 0);
        vm.deal(payer, amount);
        vm.prank(payer);
        channels.open{value: amount}(channel(), amount);

        vm.prank(payee);
        channels.close(channel(), total, total, abi.encodePacked(r, s, v));

        assert(address(channels).balance == 0);
        assert(payer.balance + payee.balance == amount);
        assert(payee.balance <= total);
        assert(channels.stateOf(channels.channelId(channel())).closed);
    }

    /// @dev The payer gets out once the delay is over, whatever was claimed, and not before.
    function check_exit_conserves(uint104 amount, uint256 total, uint64 time, bytes32 r, bytes32 s, uint8 v) external {
        vm.assume(amount != 0);
        vm.deal(payer, amount);
        vm.prank(payer);
        channels.open{value: amount}(channel(), amount);
        claim(total, r, s, v);
        vm.warp(1_800_000_000);
        vm.prank(payer);
        channels.requestExit(channel());

        vm.warp(time);
        try channels.exit(channel()) {
            assert(time >= 1_800_000_000 + 15 minutes);
            assert(address(channels).balance == 0);
            assert(payer.balance + payee.balance == amount);
        } catch {
            assert(time < 1_800_000_000 + 15 minutes);
        }
    }

    /// @dev Two channels, one in the native coin and one in a token: what is claimed of one is taken from its own deposit, and
    /// the other is as it was.
    function check_twoAssets_claimsConserve(
        uint104 native,
        uint104 tokens,
        uint256 first,
        uint256 second,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) external {
        openBoth(native, tokens);

        claim(first, r, s, v);
        assertOther(channelIn(address(coin)), tokens);
        claimIn(address(coin), second, r, s, v);

        assertClaimed(native, tokens, first, second);
    }

    /// @dev One of the two is closed, by the payee; the other stays as it was, and then its payer leaves.
    function check_twoAssets_endsConserve(
        uint104 native,
        uint104 tokens,
        uint256 total,
        bool nativeFirst,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) external {
        openBoth(native, tokens);
        (address closed, address left) = nativeFirst ? (address(0), address(coin)) : (address(coin), address(0));

        vm.prank(payee);
        channels.close(channelIn(closed), total, total, abi.encodePacked(r, s, v));
        assertOther(channelIn(left), nativeFirst ? tokens : native);

        vm.warp(1_800_000_000);
        vm.prank(payer);
        channels.requestExit(channelIn(left));
        vm.warp(1_800_000_000 + 15 minutes);
        channels.exit(channelIn(left));

        assert(address(channels).balance == 0 && coin.balanceOf(address(channels)) == 0);
        assert(payer.balance + payee.balance == native);
        assert(coin.balanceOf(payer) + coin.balanceOf(payee) == tokens);
        assert((nativeFirst ? coin.balanceOf(payee) : payee.balance) == 0);
        assert((nativeFirst ? payee.balance : coin.balanceOf(payee)) <= total);
    }

    /// @dev What the payee gives back is its own: no channel pays for it, and no state changes.
    function check_refund_conserves(uint104 amount, uint256 total, uint256 back, bytes32 r, bytes32 s, uint8 v)
        external
    {
        vm.assume(amount != 0);
        vm.deal(payer, amount);
        vm.prank(payer);
        channels.open{value: amount}(channel(), amount);
        claim(total, r, s, v);
        uint256 claimed = channels.stateOf(channels.channelId(channel())).claimed;

        vm.assume(back <= payee.balance);
        vm.prank(payee);
        try channels.refund{value: back}(channel(), back) {
            assert(back != 0 && back <= claimed);
            assert(payee.balance == claimed - back && payer.balance == back);
        } catch {
            assert(back == 0);
            assert(payee.balance == claimed && payer.balance == 0);
        }
        assert(address(channels).balance == uint256(amount) - claimed);
        assert(channels.stateOf(channels.channelId(channel())).claimed == claimed);
    }

    /// @dev Rows of two payers: whichever vouchers hold, the payee gets what is recorded, and each channel pays for itself.
    function check_claimMany_conserves(
        uint104 one,
        uint104 two,
        uint256 first,
        uint256 second,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) external {
        openTwo(one, two);
        vm.prank(payee);
        try channels.claimMany(payee, address(0), rowsOf(first, second, abi.encodePacked(r, s, v))) {} catch {}
        assertTwoClaimed(one, two, first, second);
    }

    /// @dev As above, with packed rows.
    function check_claimRows_conserves(
        uint104 one,
        uint104 two,
        uint104 first,
        uint104 second,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) external {
        openTwo(one, two);
        bytes memory rows = bytes.concat(rowOf(payer, first, r, s, v), rowOf(partner, second, r, s, v));
        vm.prank(payee);
        try channels.claimRows(payee, address(0), address(0), rows) {} catch {}
        assertTwoClaimed(one, two, first, second);
    }

    /// @dev Of two channels that are closed at once, the second without a voucher, everything goes to the payee and to each
    /// one's payer; or nothing moves. With two vouchers the solver finds no end.
    function check_closeMany_conserves(uint104 one, uint104 two, uint256 total, bytes32 r, bytes32 s, uint8 v) external {
        openTwo(one, two);
        vm.prank(payee);
        try channels.closeMany(payee, address(0), rowsOf(total, 0, abi.encodePacked(r, s, v))) {
            uint256 claimed = channels.stateOf(channels.channelId(channel())).claimed;
            assert(channels.stateOf(channels.channelId(channel())).closed && claimed <= total);
            assert(channels.stateOf(channels.channelId(channelBy(partner))).closed);
            assert(payer.balance == uint256(one) - claimed && partner.balance == two);
            assert(payee.balance == claimed && address(channels).balance == 0);
        } catch {
            assert(address(channels).balance == uint256(one) + two && payee.balance == 0);
        }
    }

    /// @dev What was credited is withdrawn by anybody, to its owner alone, whole and once.
    function check_withdrawFor_conserves(uint104 amount, uint256 total, address anybody, bytes32 r, bytes32 s, uint8 v)
        external
    {
        vm.assume(amount != 0);
        vm.deal(payer, amount);
        vm.prank(payer);
        channels.open{value: amount}(channel(), amount);
        vm.prank(payee);
        try channels.claimToCredit(channel(), total, total, abi.encodePacked(r, s, v)) {} catch {}
        uint256 claimed = channels.stateOf(channels.channelId(channel())).claimed;
        assert(channels.creditOf(payee, address(0)) == claimed && payee.balance == 0);
        assert(address(channels).balance == amount);

        vm.prank(anybody);
        try channels.withdrawFor(payee, address(0)) {
            assert(claimed != 0 && payee.balance == claimed);
            assert(address(channels).balance == uint256(amount) - claimed);
            assert(channels.creditOf(payee, address(0)) == 0);
        } catch {
            assert(claimed == 0 && address(channels).balance == amount);
        }
        vm.prank(anybody);
        try channels.withdrawFor(payee, address(0)) {
            assert(false);
        } catch {}
    }

    /// @dev Nobody claims for a payee but itself, whom it gave every channel, and whom the channel names and it did not revoke.
    function check_claim_needsTheRight(
        address caller,
        address named,
        uint8 right,
        uint256 total,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) external {
        vm.assume(right <= uint8(type(ISaltChannels.OperatorRight).max) && caller != address(0) && caller != payee);
        ISaltChannels.Channel memory naming = channel();
        naming.operator = named;
        vm.deal(payer, 1 ether);
        vm.prank(payer);
        try channels.open{value: 1 ether}(naming, 1 ether) {}
        catch {
            return;
        }
        vm.prank(payee);
        channels.setOperator(caller, ISaltChannels.OperatorRight(right));

        vm.prank(caller);
        try channels.claim(naming, total, total, abi.encodePacked(r, s, v)) {
            bool all = ISaltChannels.OperatorRight(right) == ISaltChannels.OperatorRight.All;
            bool byName = ISaltChannels.OperatorRight(right) == ISaltChannels.OperatorRight.Named && caller == named;
            assert(all || byName);
        } catch {}
        // Whoever claimed, the payee has it.
        assert(payee.balance == channels.stateOf(channels.channelId(naming)).claimed);
    }

    /// @dev The packed state: a claim keeps every other part as it is, and stays below the deposit.
    function check_state_claims(uint104 deposit, uint104 claimed, uint40 exitAt, bool closed, uint256 total)
        external
        pure
    {
        vm.assume(claimed <= deposit);
        ChannelState state = pack(deposit, claimed, exitAt, closed);
        uint256 amount = state.claimable(total);
        ChannelState next = state.withClaim(amount);

        assert(next.deposit() == deposit && next.exitAt() == exitAt && next.isClosed() == closed);
        assert(next.claimed() == uint256(claimed) + amount && next.claimed() <= deposit);
        assert(amount == 0 || (!closed && next.claimed() <= total));
        // No more can be claimed to the same total.
        assert(next.claimable(total) == 0);
    }

    /// @dev The packed state: each part can be set without the others.
    function check_state_parts(uint104 deposit, uint104 claimed, uint40 exitAt, bool closed, uint104 more, uint40 time)
        external
        pure
    {
        ChannelState state = pack(deposit, claimed, exitAt, closed);
        assert(state.deposit() == deposit && state.claimed() == claimed && state.exitAt() == exitAt);
        assert(state.isClosed() == closed);

        ChannelState topped = state.withDeposit(more);
        assert(topped.deposit() == more && topped.claimed() == claimed && topped.exitAt() == exitAt);
        assert(topped.isClosed() == closed);

        ChannelState leaving = state.withExitAt(time);
        assert(leaving.deposit() == deposit && leaving.claimed() == claimed && leaving.exitAt() == time);
        assert(leaving.isClosed() == closed);

        ChannelState over = state.asClosed();
        assert(over.deposit() == deposit && over.claimed() == claimed && over.exitAt() == 0);
        assert(over.isClosed() && !over.isOpen());
        // A channel that was opened is told from one that never was, for ever.
        assert(deposit == 0 || ChannelState.unwrap(over) != 0);
    }

    function claim(uint256 total, bytes32 r, bytes32 s, uint8 v) private {
        claimIn(address(0), total, r, s, v);
    }

    function claimIn(address asset, uint256 total, bytes32 r, bytes32 s, uint8 v) private {
        vm.prank(payee);
        try channels.claim(channelIn(asset), total, total, abi.encodePacked(r, s, v)) {} catch {}
    }

    function openTwo(uint104 one, uint104 two) private {
        vm.assume(one != 0 && two != 0);
        vm.deal(payer, one);
        vm.deal(partner, two);
        vm.prank(payer);
        channels.open{value: one}(channel(), one);
        vm.prank(partner);
        channels.open{value: two}(channelBy(partner), two);
    }

    function channelBy(address from) private view returns (ISaltChannels.Channel memory its) {
        its = channel();
        its.payer = from;
    }

    function rowsOf(uint256 first, uint256 second, bytes memory voucher)
        private
        view
        returns (ISaltChannels.Claim[] memory rows)
    {
        rows = new ISaltChannels.Claim[](2);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 total = i == 0 ? first : second;
            rows[i] = ISaltChannels.Claim({
                payer: i == 0 ? payer : partner,
                signer: signer,
                operator: address(0),
                exitDelay: 15 minutes,
                salt: bytes32(0),
                ceiling: total,
                total: total,
                voucher: voucher
            });
        }
    }

    function rowOf(address from, uint104 total, bytes32 r, bytes32 s, uint8 v) private view returns (bytes memory) {
        return abi.encodePacked(from, signer, uint32(15 minutes), bytes32(0), total, total, r, s, v);
    }

    function assertTwoClaimed(uint104 one, uint104 two, uint256 first, uint256 second) private view {
        ISaltChannels.State memory a = channels.stateOf(channels.channelId(channel()));
        ISaltChannels.State memory b = channels.stateOf(channels.channelId(channelBy(partner)));
        assert(a.claimed <= one && a.claimed <= first && b.claimed <= two && b.claimed <= second);
        assert(payee.balance == uint256(a.claimed) + b.claimed);
        assert(address(channels).balance == uint256(one) + two - a.claimed - b.claimed);
        assert(a.deposit == one && b.deposit == two && !a.closed && !b.closed);
    }

    function openBoth(uint104 native, uint104 tokens) private {
        vm.assume(native != 0 && tokens != 0);
        vm.deal(payer, native);
        coin.mint(payer, tokens);
        vm.startPrank(payer);
        channels.open{value: native}(channel(), native);
        channels.open(channelIn(address(coin)), tokens);
        vm.stopPrank();
    }

    /// @dev The other channel is as it was opened, and the contract has its deposit.
    function assertOther(ISaltChannels.Channel memory other, uint256 deposit) private view {
        ISaltChannels.State memory state = channels.stateOf(channels.channelId(other));
        assert(state.deposit == deposit && state.claimed == 0 && state.exitAt == 0 && !state.closed);
        if (other.asset == address(0)) assert(address(channels).balance == deposit);
        else assert(coin.balanceOf(address(channels)) == deposit);
    }

    function assertClaimed(uint104 native, uint104 tokens, uint256 first, uint256 second) private view {
        ISaltChannels.State memory one = channels.stateOf(channels.channelId(channel()));
        ISaltChannels.State memory two = channels.stateOf(channels.channelId(channelIn(address(coin))));
        assert(payee.balance == one.claimed && coin.balanceOf(payee) == two.claimed);
        assert(address(channels).balance == uint256(native) - one.claimed);
        assert(coin.balanceOf(address(channels)) == uint256(tokens) - two.claimed);
        assert(one.claimed <= native && one.claimed <= first);
        assert(two.claimed <= tokens && two.claimed <= second);
    }

    function pack(uint256 deposit, uint256 claimed, uint256 exitAt, bool closed) private pure returns (ChannelState) {
        return ChannelState.wrap(deposit | (claimed << 104) | (exitAt << 208) | (closed ? 1 << 248 : 0));
    }
}
